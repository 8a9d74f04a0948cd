# server side: server conn parse response sse; client side (the curl fence): client call
http := server conn parse head response out sse client call
