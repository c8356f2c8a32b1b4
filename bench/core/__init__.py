"""What everything rests on: errors, records, words, deadlines, signals, streams."""
