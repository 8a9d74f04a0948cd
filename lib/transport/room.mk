transport := stdio memory http http_call http_stream
