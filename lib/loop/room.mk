loop := loop child spawn sigpipe
