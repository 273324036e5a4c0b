"""What the chats share."""
