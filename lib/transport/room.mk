transport := stdio memory http http_call http_stream
transport += peek stdio_in stdio_out
