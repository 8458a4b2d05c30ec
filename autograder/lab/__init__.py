"""Labs: the same ideas on a real model, with the field's own trainers, and a grader that runs the model again."""
