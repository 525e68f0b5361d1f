"""What the gate decides on beside latency, the policy that says so, and the forms in which it answers."""
