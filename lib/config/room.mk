config := config parse keys server env expand check build
