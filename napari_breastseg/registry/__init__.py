"""The models of one person or group: registered, judged by the gate, promoted, rolled back."""
