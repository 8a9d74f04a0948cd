gateway := gateway link upstream children stream replay session endpoint access peer auto report admin health
gateway += keys state known
gateway += reload
