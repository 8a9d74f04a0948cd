loop := loop child adopt process spawn sigpipe
