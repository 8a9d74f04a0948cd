json := lex scan member splice doc
