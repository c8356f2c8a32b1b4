"""The parts of pages, whatever their content: blocks, numbers as text, HTML and Markdown, colours."""
