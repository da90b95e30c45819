"""The live page: books as a browser or a terminal shows them, served beside the dataflow."""
