loop := loop child
