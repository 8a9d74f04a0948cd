gateway := gateway link stream replay session endpoint access peer auto report admin health
