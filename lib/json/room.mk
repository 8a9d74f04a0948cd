json := lex scan member splice
