"""Sweeps: other settings on kept maps, without making the maps again; chosen on some images, reported on the others."""
