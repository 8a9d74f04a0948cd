transport := stdio memory http http_bye http_call http_stream lost
transport += peek stdio_in stdio_out
