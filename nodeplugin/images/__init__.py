"""Images that come from elsewhere: fetched, summed, unpacked and looked through before anything may use them.

The pool's directory holds, beside the images, one `.image-KEY.download` per source that is being fetched, with a `.json` note that lets
a later process go on with it. Nothing here knows libvirt or the store: `Transfers` is driven through `port.Images` by the workers, which
say what is wanted and are woken when something has changed.
"""
