"""The window: a bundle in the browser. The only room that knows Gradio; it knows no torch.

    answers    a photo's bytes -> an answer            words      answers as the page shows them
    uploads    what was dropped -> photos              several    many photos -> rows, table, CSV
    zips       a stranger's zip, read without trust    why        which parts spoke for a label
    card       a stranger's card, without its tricks   examples   photos to try
    app        the page itself                         launching  served, and gone without a trace

Only `inputs`, `dress`, `app` and `launching` load Gradio; importing this loads nothing.
"""
