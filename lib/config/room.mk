config := config parse keys server env expand check pin build admin
config += same
