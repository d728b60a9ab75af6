"""The attribution backends that ship with maskcorrect_plugin. Nothing is imported until a backend is asked for."""
