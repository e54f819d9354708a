"""napari plugin around `defocus_backend`: its widgets, sample data and preferences.

The manifest `napari.yaml` beside this file says what there is; nothing here is imported before a user
opens it.
"""
