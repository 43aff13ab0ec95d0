later next
