"""The commands of the command line, one noun a file; heavy imports wait within each."""
