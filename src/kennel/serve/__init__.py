"""The counter: a bundle's answers over HTTP. The only room that knows FastAPI and uvicorn."""
