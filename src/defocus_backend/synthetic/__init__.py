"""Images with known truth: sharp photographs that are blurred, composed and degraded as optics and cameras do."""
