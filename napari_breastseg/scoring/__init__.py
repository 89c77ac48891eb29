"""How good a mask is: scores, intervals, evaluation of a model, agreement of readers."""
