"""The counter: a bundle behind HTTP, and its page."""
