"""Reports: one self-contained page that shows what a run did and how sure that is."""
