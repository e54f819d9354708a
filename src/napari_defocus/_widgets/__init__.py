"""The four widgets of the plugin."""
