"""The Hugging Face Hub: a bundle as a Space in the browser, and as a model in timm's layout.

    address        USER/NAME, as the Hub takes it       contents     which files a Space has
    which_kennel   how Kennel itself gets in            space_file   one of them
    requirements   what is installed, from our lock     readme       its first page and settings
    space_app      app.py, as it lies in the Space      manifest     which files are Kennel's
    remote         the Hub, asked and told              folder       the files, on this disk
    refusals       what the Hub says, in words          whereabouts  photos that say where they are
    pulling        a bundle that comes from there

Only `remote`, `refusals` and `pulling` load huggingface_hub, when they are called; importing this
loads nothing.
"""
