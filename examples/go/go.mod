module mcpgw.dev/examples/go

go 1.19
