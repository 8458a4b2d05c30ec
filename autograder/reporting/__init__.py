"""Views of a report: pure functions from records to what is shown. Nothing here decides, measures or writes."""
