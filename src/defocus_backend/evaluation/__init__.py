"""How right a defocus map is, measured where the truth is known."""
