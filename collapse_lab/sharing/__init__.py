"""Write one generation of a run into a folder that others open without this package: its model, or its samples."""
