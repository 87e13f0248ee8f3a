"""Looking through a faceset: measures, orders, gaps, landmarks edited elsewhere."""
