"""What is seen and touched on napari's canvas: layers, view, layouts, marks, mouse tools."""
