"""Icons of the plugin's menus."""
