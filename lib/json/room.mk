json := lex scan member splice same doc
