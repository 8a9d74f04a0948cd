loop := loop child process spawn sigpipe
