"""What VACE is given, made of what the annotators find."""
