gateway := gateway link children stream replay session endpoint access peer auto report admin health
