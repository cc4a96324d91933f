"""What every program of ours needs: how it fails, what it prints, how it starts another."""
