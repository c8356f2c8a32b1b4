"""What pages are made of, whatever they say: blocks, numbers as text, HTML and Markdown, colours."""
