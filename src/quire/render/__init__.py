"""Pages and documents: pure functions of a project and a media type."""
