"""The flow of a merge: from decoded frames to finished ones, in bounded memory."""
