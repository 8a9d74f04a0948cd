crypt := seal
